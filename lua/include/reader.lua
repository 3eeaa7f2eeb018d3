-- reader: only in the generation the caller believes in; writes nothing itself.
-- Needs: call, meta_key, generation
local live = call('HGET', meta_key, 'generation')
if live ~= generation then
  return redis.error_reply('RCSTALE ' .. (live or 'gone'))
end
