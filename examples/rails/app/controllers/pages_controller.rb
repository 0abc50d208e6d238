class PagesController < ActionController::Base
  def home
    render plain: "Rails, worker #{ENV['HERDER_WORKER']}, release #{Rails.root.basename}\n"
  end
end
