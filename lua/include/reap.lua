-- reap: remove a bounded number of workers whose lease has ended, and count them: who is missing though nobody has
-- been reaped since it came was lost with the server's memory. Returns their ids.
-- Needs: call, prefix, meta_key, whole_number
-- Gives: reap
local function reap(now)
  local gone = call('ZRANGEBYSCORE', prefix .. 'workers', '-inf', '(' .. string.format('%.0f', now), 'LIMIT', 0, 16)
  if gone[1] then
    whole_number(meta_key, 'reaped_count', call('HGET', meta_key, 'reaped_count') or '0')
  end
  for _, id in ipairs(gone) do
    call('UNLINK', prefix .. 'worker:' .. id)
    call('ZREM', prefix .. 'workers', id)
  end
  if gone[1] then
    call('HINCRBY', meta_key, 'reaped_count', #gone)
  end
  return gone
end
