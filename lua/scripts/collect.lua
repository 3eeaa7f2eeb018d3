-- collect: remove keys that nobody needs any more: whoever asks may be late, so this looks again.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int not compared
-- ARGV[2..] names str at most 500 keys of this curriculum, without its prefix
-- Returns [how many were removed]
-- Errors none of its own
-- Atomic. O(names).

--@include keys
--@include deletion
local current = call('HGET', meta_key, 'generation')
local staged = call('HGET', prefix .. 'restore', 'generation')
local copying = call('EXISTS', prefix .. 'snapshot') == 1

local function needed(name)
  if deleting or name == 'deleted' then
    return name == 'deleted'
  end
  local owner = string.match(name, '^g(%d+):')
  if owner then
    return owner == current or owner == staged
  end
  if name == 'snapshot:tasks' or name == 'snapshot:labels' then
    return copying
  end
  return current or staged
end

local removed = 0
for i = names_first, names_last do
  if not needed(names[i]) then
    removed = removed + call('UNLINK', prefix .. names[i])
  end
end
return { removed }
