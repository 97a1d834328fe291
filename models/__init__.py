"""Build, train, diagnose and export one network."""
