-- wrk: post prepared bodies in turn, and end with one line of JSON.
-- wrk ... -s post.lua URL -- FOLDER [HEADER VALUE]...   (FOLDER/0, FOLDER/1, ... are the bodies)
local requests, at = {}, 0

function init(arguments)
  local headers = {}
  for i = 2, #arguments, 2 do headers[arguments[i]] = arguments[i + 1] end
  while true do
    local file = io.open(arguments[1] .. "/" .. #requests, "rb")
    if not file then break end
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read("*all"))
    file:close()
  end
  if #requests == 0 then error("no bodies in " .. arguments[1]) end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nJSON {"requests": %d, "seconds": %.6f, "errors": %d, "mean_ms": %.4f, "p50_ms": %.4f, "p95_ms": %.4f,'
      .. ' "p99_ms": %.4f, "max_ms": %.4f}\n',
    summary.requests - e.status, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout, latency.mean / 1e3,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
