-- exporter: the caller still holds the moment it began; its lease goes on.
-- Needs: call, prefix, lease_ms, token
if call('HGET', prefix .. 'snapshot', 'token') ~= token then
  return redis.error_reply('RCLOST ' .. token)
end
call('PEXPIRE', prefix .. 'snapshot', lease_ms)
call('PEXPIRE', prefix .. 'snapshot:tasks', 2 * lease_ms)
call('PEXPIRE', prefix .. 'snapshot:labels', 2 * lease_ms)
