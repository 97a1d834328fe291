"""One run from start to end: session, preparation, tuner, recorder, warm start."""
