-- For wrk: pauses of PAUSE_MS on average between the requests of a connection, and a last line for programs.

local pause_ms = tonumber(os.getenv("PAUSE_MS") or "")

if pause_ms then
    function delay()
        return math.random(0, 2 * pause_ms)
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"seconds":%.6f,"requests":%d,"bytes":%.0f,"failed":%d,"median_us":%.0f,"p99_us":%.0f}\n',
        summary.duration / 1e6, summary.requests, summary.bytes,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
