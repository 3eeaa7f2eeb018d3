-- reap: remove a bounded number of workers whose lease has ended.
local function reap(now)
  local gone = call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', '(' .. string.format('%.0f', now), 'LIMIT', 0, 16)
  for _, id in ipairs(gone) do
    call('UNLINK', prefix .. 'worker:' .. id)
    call('ZREM', prefix .. 'workers', id)
  end
  return gone
end
