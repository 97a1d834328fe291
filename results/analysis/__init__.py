"""What curves and choices say: health, importance."""
