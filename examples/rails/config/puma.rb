# Puma as a worker of herder, whose preset sees to the socket and to one process for each worker.

threads 1, 5
