"""Search spaces: architectures with free parameters, named spaces, stages, and decisions of given architectures."""
