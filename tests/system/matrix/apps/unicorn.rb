# Loads the application before it forks a worker: one that cannot be loaded ends it. With false it would fork for ever.
worker_processes 1
preload_app true
timeout 30
