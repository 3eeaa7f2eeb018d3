-- own: the keys of the family's own: of each task or label a number (sorted sets) or a text (hashes), of the whole pool some.
-- Needs: call, pool
-- Gives: own_of, begin_own, forget_own, is_own_right
--@generated own

local function own_value(own, of)
  if own.is_text then
    return call('HGET', pool .. own.key, of)
  end
  return call('ZSCORE', pool .. own.key, of)
end

-- Appends names and values of a task or label; keys: OWN_TASKS or OWN_LABELS.
local function own_of(keys, of, found)
  for _, own in ipairs(keys) do
    local value = own_value(own, of)
    if value then
      found[#found + 1] = 'own:' .. own.name
      found[#found + 1] = value
    end
  end
  return found
end

-- What a task or label lacks of the values that each begins with.
local function begin_own(keys, of)
  for _, own in ipairs(keys) do
    if own.first and own.is_text then
      call('HSETNX', pool .. own.key, of, own.first)
    elseif own.first then
      call('ZADD', pool .. own.key, 'NX', own.first, of)
    end
  end
end

local function forget_own(keys, of)
  for _, own in ipairs(keys) do
    if own.is_text then
      call('HDEL', pool .. own.key, of)
    else
      call('ZREM', pool .. own.key, of)
    end
  end
end

-- Whether a task, or nothing in its place, has what it should have of them.
local function is_own_right(id, is_there)
  for _, own in ipairs(OWN_TASKS) do
    local value = own_value(own, id)
    if value and not is_there or not value and is_there and own.first then
      return false
    end
  end
  return true
end
