"""One run driven: recorder, tuner, warm start, session."""
