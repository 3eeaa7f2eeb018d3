-- keys: the names of redis_curriculum/keys.py, spelled from the one key that every script is given.
-- Needs: meta_key, generation
-- Gives: call, prefix, pool
local call = redis.call
local prefix = string.sub(meta_key, 1, -5) -- 'rc:{name}:'
local pool = prefix .. 'g' .. generation .. ':' -- 'rc:{name}:g<generation>:'
