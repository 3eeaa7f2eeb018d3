-- settled: the config is the one that the caller has computed by, and the indices are complete.
-- Needs: call, meta_key, config_version
local settled = call('HMGET', meta_key, 'config_version', 'unindexed')
if settled[2] then
  return redis.error_reply('RCUNINDEXED ' .. settled[1])
end
if settled[1] ~= config_version then
  return redis.error_reply('RCCONFIG ' .. settled[1])
end
