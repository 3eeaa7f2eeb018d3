-- fields_of: some fields of a hash as field, value, ...; those that it lacks are left out. Somebody may have put thousands of
-- others into it.
-- Needs: call
-- Gives: fields_of
local function fields_of(key, names)
  local flat = {}
  for i, value in ipairs(call('HMGET', key, unpack(names))) do
    if value then
      flat[#flat + 1] = names[i]
      flat[#flat + 1] = value
    end
  end
  return flat
end
