-- wrk -s benches/peers/load.lua URL -- BODY [TOKENS]
-- POSTs BODY as JSON, each request with the next token of the file TOKENS. With ONCE in the environment it stops after the last token,
-- otherwise it starts over. With UNIQUE it inserts a new number before the last two characters of BODY at each request. Prints a line of
-- JSON.

local requests, sent, once, unique = {}, 0, os.getenv("ONCE"), os.getenv("UNIQUE")
-- All numbers have the same length, which is part of the formatted request.
local first = os.time() * 1000000

function init(arguments)
  wrk.method, wrk.body = "POST", arguments[1]
  if unique then
    wrk.body = wrk.body:sub(1, -3) .. string.format("%d", first) .. wrk.body:sub(-2)
  end
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
  local request = requests[(sent - 1) % #requests + 1]
  if unique then
    local number = string.format("%d", first + sent)
    return request:sub(1, -3 - #number) .. number .. request:sub(-2)
  end
  return request
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"microseconds":%d,"rejected":%d,"failed":%d,"p50":%d,"p99":%d}',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
