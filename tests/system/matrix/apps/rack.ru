# The matrix' application in Rack (see matrix.py for what it answers).

RELEASE = File.basename(Dir.pwd)

run(lambda do |env|
  arrived = Time.now.to_f
  if env["PATH_INFO"] == "/slow"
    File.write("#{ENV.fetch('RUNTIME_DIRECTORY')}/slow-request", "")
    sleep 1
  end
  body = format("%s %d %d %.6f\n", RELEASE, Process.pid, Process.ppid, arrived)
  [200, { "content-type" => "text/plain", "content-length" => body.bytesize.to_s }, [body]]
end)
