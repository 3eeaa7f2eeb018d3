-- keys: the names of redis_curriculum/keys.py, spelled from the one key that every script is given.
local call = redis.call
local prefix = string.sub(KEYS[1], 1, -5) -- 'rc:{name}:'
local pool = prefix .. 'g' .. ARGV[1] .. ':' -- 'rc:{name}:g<generation>:'
