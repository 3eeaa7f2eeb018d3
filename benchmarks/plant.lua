-- plant: write tasks with a past, as create and record would have left them.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] pool str what the keys of the generation begin with
-- ARGV[2] params JSON the same for all
-- ARGV[3..] tasks groups of nine: part, task_id, label, label_hash, completion_count, p_fast, p_slow, learning_progress, score
-- Returns 1

local call, pool, created = redis.call, ARGV[1], redis.call('TIME')[1] * 1000
for at = 3, #ARGV, 9 do
  local part, id, label, n = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 4]
  local fast, slow, lp, score = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], ARGV[at + 8]
  local key = pool .. 'task:' .. id
  call('HSET', key, 'completion_count', n, 'sample_count', n, 'label', label, 'params', ARGV[2], 'task_id', id,
    'label_hash', ARGV[at + 3], 'created_ms', created, 'failure_count', 0, 'total_score', n * score,
    'success_threshold', 0.5)
  if n ~= '0' then
    call('HSET', key, 'reward_ema', fast, 'ema_squared', fast * fast, 'success_rate_ema', fast, 'p_fast', fast, 'p_slow',
      slow, 'p_true', fast, 'learning_progress', lp, 'last_score', score)
  end
  call('ZADD', pool .. part, lp, id)
  call('SADD', pool .. 'label:' .. label, id)
end
return 1
