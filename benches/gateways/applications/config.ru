# A Rack application that reads the body and answers `ok`.
run lambda { |env|
  env["rack.input"]&.read
  [200, { "content-type" => "text/plain", "content-length" => "2" }, ["ok"]]
}
