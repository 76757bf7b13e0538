"""One file a metric: samples and real examples in, numbers out."""
