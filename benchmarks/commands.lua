-- commands: the commands of one update and nothing computed; with them no script can cost less.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV as of record, with one result
-- Returns as record does

local call, prefix = redis.call, string.sub(KEYS[1], 1, -5)
local pool, worker = prefix .. 'g' .. ARGV[1] .. ':', prefix .. 'worker:' .. ARGV[2]
local meta = call('HMGET', KEYS[1], 'generation', 'epoch', 'snapshot', 'random', 'next_index', 'schema')
call('HGET', worker, 'sequence')
local keys, label = { pool .. 'task:' .. ARGV[6] }, nil
local read = {}
for i = 1, 2 do
  read[i] = call('HMGET', keys[i], 'completion_count', 'reward_ema', 'ema_squared', 'success_rate_ema', 'p_fast',
    'p_slow', 'p_true', 'learning_progress', 'total_score', 'label')
  label = label or read[1][10]
  keys[2] = pool .. 'progress:' .. label
end
for i = 1, 2 do
  local r = read[i]
  call('HSET', keys[i], 'completion_count', r[1] or '0', 'reward_ema', r[2] or '0', 'ema_squared', r[3] or '0',
    'success_rate_ema', r[4] or '0', 'p_fast', r[5] or '0', 'p_slow', r[6] or '0', 'p_true', r[7] or '0',
    'learning_progress', r[8] or '0', 'total_score', r[9] or '0', 'last_score', ARGV[7])
end
call('ZADD', pool .. 'ripe', ARGV[7], ARGV[6])
call('HINCRBY', pool .. 'count:completions', label, 1)
call('HINCRBY', prefix .. 'epoch:' .. meta[2] .. ':completions', label, 1)
call('BITFIELD', pool .. 'sums', 'INCRBY', 'i64', '#0', '1', 'INCRBY', 'i64', '#1', '1', 'INCRBY', 'i64', '#2', '1',
  'INCRBY', 'i64', '#3', '1')
call('HSET', worker, 'sequence', ARGV[3])
return { 0, 1 }
