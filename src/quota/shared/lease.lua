-- Takes tokens from the bucket of a principal, or returns some. Answers the tokens taken, those left in thousandths, and
-- the time. The tokens taken are -1 if it is too late: nothing has changed then.
--
-- KEYS[1]  hash: `level`, tokens in the bucket, at the time `at`, in microseconds of this server's clock
-- ARGV     microseconds per token, size of the bucket, tokens wanted, tokens returned, the most that the bucket can hold
--          as far as the caller knows, the time until which the caller waits, or 0
local period, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local take, give, ceiling, deadline = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- A server that was stopped executes what it received meanwhile, whose ceiling is outdated. By a minute or more, it is the
-- clock that has jumped.
if now > deadline and now < deadline + 60 * 1000000 then
    return { -1, 0, now }
end

local level, at
local stored = redis.pcall('HMGET', KEYS[1], 'level', 'at')
if stored.err then
    -- Only a key of another type has one: it is none of ours.
    redis.call('DEL', KEYS[1])
else
    level, at = tonumber(stored[1] or ''), tonumber(stored[2] or '')
end
if level and at and level >= 0 then
    -- A clock that was set back adds nothing; one that was set forward adds no more than the ceiling.
    level = level + math.max(0, now - at) / period
else
    level = burst
end
level = math.max(0, math.min(level + give, burst, ceiling))

local granted = math.min(take, math.floor(level))
level = level - granted
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', string.format('%.0f', now))
-- Without a key the bucket is full.
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - level) * period / 1000) + 1000)
return { granted, math.floor(level * 1000), now }
