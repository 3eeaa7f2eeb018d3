-- sums: exact integer sums over the eligible tasks (_sampling/weights.py): s, q0, q1, q2 as i64 in one string.
-- The script sets pooled (pooling by label) and bonus (performance_bonus_weight) before.
--@include drive
local EXACT = 4503599627370496 -- 2^52: a sum of two such is still exact in a double
local s, q0, q1, q2 = 0, 0, 0, 0 -- what is due to each
local sums_ops -- and what is more than a double holds

local function sums_emit(slot, amount)
  sums_ops = sums_ops or { pool .. 'sums' }
  local n = #sums_ops
  sums_ops[n + 1], sums_ops[n + 2], sums_ops[n + 3], sums_ops[n + 4] = 'INCRBY', 'i64', slot, amount
end

local function sums_flush()
  if sums_ops then
    call('BITFIELD', unpack(sums_ops))
    sums_ops = nil
  end
  if s ~= 0 or q0 ~= 0 or q1 ~= 0 or q2 ~= 0 then
    call('BITFIELD', pool .. 'sums', 'INCRBY', 'i64', '#0', s, 'INCRBY', 'i64', '#1', q0, 'INCRBY', 'i64', '#2', q1,
      'INCRBY', 'i64', '#3', q2)
    s, q0, q1, q2 = 0, 0, 0, 0
  end
end

-- Returns due + times * value, or what is left of it after an emission.
local function sums_add(slot, due, times, value)
  local product = times * value
  if product > EXACT or product < -EXACT then
    local high = floor(times / 1024)
    sums_emit(slot, string.format('%.0f', high * value * 1024))
    product = (times - high * 1024) * value
  end
  due = due + product
  if due > EXACT or due < -EXACT then
    sums_emit(slot, due)
    due = 0
  end
  return due
end

local function sums_add_all(times, a, l_l, h_l, h_h)
  s, q0 = sums_add('#0', s, times, a), sums_add('#1', q0, times, l_l)
  q1, q2 = sums_add('#2', q1, times, h_l), sums_add('#3', q2, times, h_h)
end

-- `before` tasks of drive y1 become `after` tasks of drive y2.
local function sums_move(before, y1, after, y2)
  local a1, a2 = fixed(y1), fixed(y2)
  if before == after and a1 == a2 then
    return
  end
  local h1, h2 = floor(a1 / 2097152), floor(a2 / 2097152)
  local l1, l2 = a1 - h1 * 2097152, a2 - h2 * 2097152
  if before == after then
    sums_add_all(after, a2 - a1, l2 * l2 - l1 * l1, h2 * l2 - h1 * l1, h2 * h2 - h1 * h1)
  else
    sums_add_all(-before, a1, l1 * l1, h1 * l1, h1 * h1)
    sums_add_all(after, a2, l2 * l2, h2 * l2, h2 * h2)
  end
  if sums_ops and #sums_ops > 4000 then
    sums_flush()
  end
end
