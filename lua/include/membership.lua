-- membership: put a task into a label's set or take it out, and forget a label once too many labels stand empty.
-- Needs: call, pool, save_label, COUNTS, epoch_prefix, labels_retained, begin_own, forget_own,
--   OWN_LABELS
-- Gives: join_label, leave_label
local function forget_label(label)
  save_label(label)
  save_label('')
  for _, what in ipairs(COUNTS) do -- the totals stay: a forgotten label's counts go to the nameless one
    for _, key in ipairs({ pool .. 'count:' .. what, epoch_prefix .. what }) do
      local count = call('HGET', key, label)
      if count then
        call('HINCRBY', key, '', count)
        call('HDEL', key, label)
      end
    end
  end
  call('UNLINK', pool .. 'progress:' .. label)
  call('ZREM', pool .. 'inactive', label)
  forget_own(OWN_LABELS, label)
end

-- A task joins a label's set.
local function join_label(id, label)
  call('SADD', pool .. 'label:' .. label, id)
  if call('HINCRBY', pool .. 'labels', label, 1) == 1 then
    call('ZREM', pool .. 'inactive', label)
    begin_own(OWN_LABELS, label)
  end
end

local function leave_label(id, label, now)
  call('SREM', pool .. 'label:' .. label, id)
  if call('HINCRBY', pool .. 'labels', label, -1) == 0 then
    call('HDEL', pool .. 'labels', label)
    call('ZADD', pool .. 'inactive', now, label)
    if call('ZCARD', pool .. 'inactive') > labels_retained then
      forget_label(call('ZRANGE', pool .. 'inactive', 0, 0)[1])
    end
  end
end
