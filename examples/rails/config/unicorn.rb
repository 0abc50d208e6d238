# Unicorn as a worker of herder. It finds the socket by itself, by LISTEN_FDS.

# A master and one worker. herder has the others.
worker_processes 1

# The master loads the site, and ends if that fails. Without this its worker would load it, and the master start one after
# the other for ever.
preload_app true
