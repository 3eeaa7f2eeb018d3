-- label: a label's part of the tasks, and any task of it, for draws under quotas (_sampling/quotas.py).
-- Needs: call, pool, all_count, task_at, index, whole_number
-- Gives: label_part, member_of
local MOST_LISTED, MEMBER_TRIALS = 1000, 1024
local listed = {}

local function tasks_in(label)
  return whole_number(pool .. 'labels', label, call('HGET', pool .. 'labels', label))
end

local function label_part(label)
  return tasks_in(label) / all_count
end

local function listed_of(label)
  if not listed[label] then
    listed[label] = call('SMEMBERS', pool .. 'label:' .. label)
    table.sort(listed[label])
  end
  return listed[label][1 + index(#listed[label])]
end

-- Of a small label from a sorted list; of a large one by trials, and from a list if none of them finds one.
local function member_of(label)
  if tasks_in(label) <= MOST_LISTED then
    return listed_of(label)
  end
  for _ = 1, MEMBER_TRIALS do
    local id = task_at(index(all_count))
    if call('HGET', pool .. 'task:' .. id, 'label') == label then
      return id
    end
  end
  return listed_of(label)
end
