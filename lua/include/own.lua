-- own: the keys of the family's own: of each task a number (sorted sets), of the whole pool some (hashes).
-- Needs: call, pool
-- Gives: own_of_task, begin_own, forget_own, is_own_right
--@generated own

-- Appends names and numbers of a task.
local function own_of_task(id, found)
  for _, name in ipairs(OWN_TASKS) do
    local number = call('ZSCORE', pool .. 'own_tasks:' .. name, id)
    if number then
      found[#found + 1] = 'own:' .. name
      found[#found + 1] = number
    end
  end
end

-- What a task lacks of the numbers that each begins with.
local function begin_own(id)
  for name, first in pairs(OWN_FIRST) do
    call('ZADD', pool .. 'own_tasks:' .. name, 'NX', first, id)
  end
end

local function forget_own(id)
  for _, name in ipairs(OWN_TASKS) do
    call('ZREM', pool .. 'own_tasks:' .. name, id)
  end
end

local function is_own_right(id, is_there)
  for _, name in ipairs(OWN_TASKS) do
    local number = call('ZSCORE', pool .. 'own_tasks:' .. name, id)
    if number and not is_there or not number and is_there and OWN_FIRST[name] then
      return false
    end
  end
  return true
end
