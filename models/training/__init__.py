"""Training one network: optimizer, schedule, augmentation, evaluation, cross-validation."""
