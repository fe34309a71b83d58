-- Registers a replica and returns how many there are.
--
-- KEYS[1]  sorted set: the replicas by the time of their last heartbeat, in milliseconds of this server's clock
-- ARGV     id of the replica, milliseconds after which a replica without a heartbeat is gone, 1 to join or 0 to leave
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, lifetime, joins = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'

local function update()
    if joins then
        return redis.pcall('ZADD', KEYS[1], now, id)
    end
    return redis.pcall('ZREM', KEYS[1], id)
end

local updated = update()
if type(updated) == 'table' and updated.err then
    if not string.find(updated.err, 'WRONGTYPE') then
        return updated
    end
    redis.call('DEL', KEYS[1])
    update()
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now - lifetime)
-- Heartbeats from before this server's clock was set back.
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 1, '+inf')
redis.call('PEXPIRE', KEYS[1], 2 * lifetime)
return redis.call('ZCARD', KEYS[1])
