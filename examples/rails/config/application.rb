# As little of Rails as one page needs.
require "logger"
require "securerandom"
require "action_controller/railtie"

class Site < Rails::Application
  # Of Rails 6.1, so that the example runs on every version since.
  config.load_defaults 6.1
  # Everything is loaded before the first request, so a release with a mistake in it never gets one.
  config.eager_load = true
  # Nothing here is signed. A site with sessions sets SECRET_KEY_BASE (in herder's environment-file): a key of its own in each
  # worker would log people out at every other request.
  config.secret_key_base = ENV.fetch("SECRET_KEY_BASE") { SecureRandom.hex(64) }
  # To the journal.
  config.logger = Logger.new($stderr)
  config.log_level = :warn
end
