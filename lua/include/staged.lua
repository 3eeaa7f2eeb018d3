-- staged: the caller still claims the generation that it has staged, and the server has seen every call that staged it:
-- a failover may have lost some.
-- Needs: call, prefix, token, steps
local claim = call('HMGET', prefix .. 'restore', 'token', 'step')
if claim[1] ~= token or claim[2] ~= steps then
  return redis.error_reply('RCLOST ' .. token)
end
