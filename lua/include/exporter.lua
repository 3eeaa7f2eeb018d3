-- exporter: the caller still holds the moment it began; its lease goes on.
if call('HGET', prefix .. 'snapshot', 'token') ~= ARGV[2] then
  return redis.error_reply('RCLOST ' .. ARGV[2])
end
call('PEXPIRE', prefix .. 'snapshot', ARGV[3])
call('PEXPIRE', prefix .. 'snapshot:tasks', 2 * ARGV[3])
call('PEXPIRE', prefix .. 'snapshot:labels', 2 * ARGV[3])
