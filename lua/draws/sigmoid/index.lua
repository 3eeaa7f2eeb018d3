-- index: exact integer sums of the eligible tasks' weights and of their squares (_sampling/sigmoid.py, Sums): the hash
-- `weight_sums`, fields s, q0, q1, q2; and each label's number of eligible tasks.
-- Needs: call, pool, weight, fresh_until, pooling_is_label, unpack_label, whole_number
-- Gives: index_field, index_loaded, index_check, index_ready, index_results, index_join, index_leave, shift, fixed
local index_field = 'eligible_count'
local EXACT = 4503599627370496 -- 2^52: a sum of two such is still exact in a double
local floor = math.floor
local s, q0, q1, q2 = 0, 0, 0, 0 -- what is due to each

local function index_loaded(p)
  p.weight_before = weight(p)
  if p.index then
    whole_number(p.key, 'eligible_count', p.index)
  end
end

-- Before a task joins a label or leaves it.
local function index_check(label)
  local key = pool .. 'progress:' .. label
  whole_number(key, 'eligible_count', call('HGET', key, 'eligible_count') or '0')
end

local function index_ready() end -- all that results change has been read

-- A weight as an integer of 40 binary places.
local function fixed(y)
  return floor(y * 1099511627776 + 0.5)
end

local function sums_due(field, amount)
  if amount ~= 0 then
    call('HINCRBY', pool .. 'weight_sums', field, string.format('%.0f', amount))
  end
end

local function sums_flush()
  sums_due('s', s)
  sums_due('q0', q0)
  sums_due('q1', q1)
  sums_due('q2', q2)
  s, q0, q1, q2 = 0, 0, 0, 0
end

-- Returns due + times * value, or what is left of it once more than a double holds exactly has been sent.
local function sums_add(field, due, times, value)
  local product = times * value
  if product > EXACT or product < -EXACT then
    local high = floor(times / 1024)
    sums_due(field, high * value * 1024)
    product = (times - high * 1024) * value
  end
  due = due + product
  if due > EXACT or due < -EXACT then
    sums_due(field, due)
    due = 0
  end
  return due
end

local function sums_add_all(times, a, l_l, h_l, h_h)
  s, q0 = sums_add('s', s, times, a), sums_add('q0', q0, times, l_l)
  q1, q2 = sums_add('q1', q1, times, h_l), sums_add('q2', q2, times, h_h)
end

-- `before` tasks of weight y1 become `after` tasks of weight y2.
local function sums_move(before, y1, after, y2)
  local a1 = fixed(y1)
  local a2 = fixed(y2)
  local h1, h2 = floor(a1 / 2097152), floor(a2 / 2097152)
  local l1, l2 = a1 - h1 * 2097152, a2 - h2 * 2097152
  if before ~= after then
    sums_add_all(-before, a1, l1 * l1, h1 * l1, h1 * h1)
    sums_add_all(after, a2, l2 * l2, h2 * l2, h2 * h2)
  elseif a1 ~= a2 then
    sums_add_all(after, a2 - a1, l2 * l2 - l1 * l1, h2 * l2 - h1 * l1, h2 * h2 - h1 * h1)
  end
end

-- After results were folded into these tasks and labels.
local function index_results(tasks, labels)
  for _, task in pairs(tasks) do
    if task and task.completion_count >= fresh_until then
      local was = task.completion_count - task.count >= fresh_until
      local label = labels[task.label]
      label.joining = (label.joining or 0) + (was and 0 or 1)
      if not pooling_is_label then
        local own = weight(task)
        sums_move(was and 1 or 0, task.weight_before, 1, own)
      end
    end
  end
  for _, label in pairs(labels) do
    local count, joining = tonumber(label.index or 0), label.joining or 0
    if joining > 0 then
      call('HSET', label.key, 'eligible_count', count + joining)
    end
    if pooling_is_label then
      local own = weight(label)
      sums_move(count, label.weight_before, count + joining, own)
    end
  end
  sums_flush()
end

-- A label has so many more eligible tasks; `own`: the weight of the task that comes or goes, where that is what counts.
local function shift(name, by, own)
  local key = pool .. 'progress:' .. name
  local r = call('HMGET', key, 'eligible_count', 'stats')
  local count = whole_number(key, 'eligible_count', r[1] or '0')
  by = math.max(by, -count) -- where somebody has put other tasks into the sorted sets
  if pooling_is_label then
    local label = { completion_count = 0 }
    if r[2] then
      unpack_label(label, r[2], key)
    end
    sums_move(count, weight(label), count + by, weight(label))
  elseif own then
    sums_move(by < 0 and 1 or 0, own, by > 0 and 1 or 0, own)
  end
  call('HSET', key, 'eligible_count', count + by)
  sums_flush()
end

-- A task of statistics p joins a label, or leaves it; only eligible ones count here.
local function index_join(_, label, p)
  if p.completion_count >= fresh_until then
    shift(label, 1, weight(p))
  end
end

local function index_leave(_, label, p)
  if p.completion_count >= fresh_until then
    shift(label, -1, weight(p))
  end
end
