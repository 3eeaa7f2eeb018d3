-- plant: write tasks as if they had come about, for benchmarks.
-- KEYS[1] meta of the curriculum; ARGV[1] prefix of its generation; ARGV[2] params
-- ARGV[3..] groups of six: part, task_id, label, completion_count, packed statistics or empty, learning_progress
for i = 3, #ARGV, 6 do
  local part, id, label, count, stats, lp = unpack(ARGV, i, i + 5)
  local key = ARGV[1] .. 'task:' .. id
  redis.call('HSET', key, 'label', label, 'params', ARGV[2], 'created_ms', 1700000000000, 'completion_count', count,
    'sample_count', count, 'failure_count', 0)
  if stats ~= '' then
    redis.call('HSET', key, 'stats', stats, 'learning_progress', lp, 'success_rate_ema', '0.5', 'last_score', '0.5')
  end
  redis.call('ZADD', ARGV[1] .. part, lp, id)
  redis.call('SADD', ARGV[1] .. 'label:' .. label, id)
end
