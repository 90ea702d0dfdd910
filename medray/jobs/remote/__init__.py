"""Jobs on a cluster: Ray's Jobs API, what is sent, and the queue on the other side."""
