-- malformed: end the script where somebody has overwritten a field, before it writes, with RCMALFORMED key;field;value.
-- Bytes that do not stand for themselves are spelled %XX; no third part: there is no such field.
-- Gives: malformed, whole_number
local function malformed(key, field, value)
  local said = { key, field }
  if value then
    said[3] = string.sub(value, 1, 60)
  end
  for i, text in ipairs(said) do
    said[i] = string.gsub(text, '[^%w_:{}.,/+@~-]', function(byte)
      return string.format('%%%02X', string.byte(byte))
    end)
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
