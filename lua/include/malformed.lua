-- malformed: end the script where somebody has overwritten a field, before it writes, with RCMALFORMED key;field;value.
-- Bytes that do not stand for themselves are spelled %XX; no third part: there is no such field.
-- Needs: call
-- Gives: malformed, whole_number, of_kind
local function spelled(text)
  return (string.gsub(text, '[^%w_:{}.,/+@~-]', function(byte)
    return string.format('%%%02X', string.byte(byte))
  end))
end

local function malformed(key, field, value)
  local said = { spelled(key), spelled(field) }
  if value then
    said[3] = spelled(string.sub(value, 1, 60))
  end
  assert(false, 'RCMALFORMED ' .. table.concat(said, ';')) -- `error` may be an argument's name
end

-- The number in [0, 10^16) that is stored as text in a field.
local function whole_number(key, field, text)
  if not text or #text > 16 or not string.find(text, '^%d+$') then
    malformed(key, field, text)
  end
  return tonumber(text)
end

-- See that a key holds what it should, or nothing, before anything is written. Each key is looked at once a script.
local kinds = {}
local function of_kind(kind, key)
  local found = kinds[key] or call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then
    assert(false, 'RCTYPE ' .. spelled(key))
  end
  kinds[key] = kind
end
