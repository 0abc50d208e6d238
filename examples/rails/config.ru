require_relative "config/application"

# Unicorn leaves it to the application to say how long an answer is, and Rails before version 7 does not.
use Rack::ContentLength

Rails.application.initialize!
run Rails.application
