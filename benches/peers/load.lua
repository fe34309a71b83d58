-- wrk -s benches/peers/load.lua URL -- BODY [TOKENS]
-- POSTs BODY as JSON, each request with the next token of the file TOKENS. With ONCE in the environment it stops after the last token,
-- otherwise it starts over. Prints a line of JSON.

local requests, sent, once = {}, 0, os.getenv("ONCE")

function init(arguments)
  wrk.method, wrk.body = "POST", arguments[1]
  wrk.headers["content-type"] = "application/json"
  if arguments[2] then
    for token in io.lines(arguments[2]) do
      wrk.headers["authorization"] = "Bearer " .. token
      requests[#requests + 1] = wrk.format()
    end
  else
    requests[1] = wrk.format()
  end
end

function request()
  sent = sent + 1
  if once and sent > #requests then
    wrk.thread:stop()
    return requests[#requests]
  end
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"microseconds":%d,"rejected":%d,"failed":%d,"p50":%d,"p99":%d}',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
