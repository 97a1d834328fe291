"""Where the decoded images of a data set are: in memory, in a cache file, or decoded for each batch."""
