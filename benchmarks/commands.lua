-- commands: the commands of one update and nothing computed; with them no script can cost less.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV as of record, with one result
-- Returns as record does

local call, prefix = redis.call, string.sub(KEYS[1], 1, -5)
local pool, worker = prefix .. 'g' .. ARGV[1] .. ':', prefix .. 'worker:' .. ARGV[2]
local meta = call('HMGET', KEYS[1], 'generation', 'epoch', 'snapshot', 'random', 'next_index', 'schema', 'hypers',
  'config_version')
call('HGET', worker, 'sequence')
local task = pool .. 'task:' .. ARGV[5]
local of_task = call('HMGET', task, 'label', 'stats', 'consecutive_failures')
local label = of_task[1]
local progress = pool .. 'progress:' .. label
local of_label = call('HMGET', progress, 'stats', 'eligible_count')
call('HSET', task, 'stats', of_task[2] or '', 'completion_count', '1', 'learning_progress', ARGV[6],
  'success_rate_ema', ARGV[6], 'last_score', ARGV[6])
call('ZADD', pool .. 'ripe', ARGV[6], ARGV[5])
call('HSET', progress, 'stats', of_label[1] or '', 'completion_count', '1', 'learning_progress', ARGV[6],
  'success_rate_ema', ARGV[6], 'last_score', ARGV[6])
call('HINCRBY', pool .. 'count:completions', label, 1)
call('HINCRBY', prefix .. 'epoch:' .. meta[2] .. ':completions', label, 1)
for _, sum in ipairs({ 's', 'q0', 'q1', 'q2' }) do
  call('HINCRBY', pool .. 'weight_sums', sum, '1')
end
call('HSET', worker, 'sequence', ARGV[3])
return { 0, 1 }
