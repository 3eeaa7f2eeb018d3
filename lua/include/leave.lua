-- leave: take a task out of a label's set, and forget the label's statistics once too many labels stand empty.
-- Needs: call, pool, save_label, COUNTS, epoch_prefix, pooled, drive, sums_move, sums_flush
-- Gives: leave_label, shift_eligible
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
end

local function leave_label(id, label, now, labels_retained)
  call('SREM', pool .. 'label:' .. label, id)
  if call('HINCRBY', pool .. 'labels', label, -1) == 0 then
    call('HDEL', pool .. 'labels', label)
    call('ZADD', pool .. 'inactive', now, label)
    if call('ZCARD', pool .. 'inactive') > labels_retained then
      forget_label(call('ZRANGE', pool .. 'inactive', 0, 0)[1])
    end
  end
end

-- An eligible task of these statistics joins (+1) or leaves (-1) what the sums and the label's count hold.
local function shift_eligible(label, by, lp, p_true)
  local progress = call('HMGET', pool .. 'progress:' .. label, 'eligible_count', 'learning_progress', 'p_true')
  local count = tonumber(progress[1] or 0)
  if pooled then
    local y = drive(tonumber(progress[2] or 0), tonumber(progress[3] or 0))
    sums_move(count, y, count + by, y)
  else
    local y = drive(lp, p_true)
    sums_move(by < 0 and 1 or 0, y, by > 0 and 1 or 0, y)
  end
  call('HSET', pool .. 'progress:' .. label, 'eligible_count', count + by)
  sums_flush()
end
