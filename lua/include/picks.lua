-- picks: one task a pick, as the family draws it, within the quotas of labels and by the weights that a trainer has set.
-- Needs: meta, packed_quotas, draws
-- Gives: next_pick
--@include pick
local next_pick = pick
if packed_quotas ~= '' then
  --@include quotas
  next_pick = quota_picks()
end
if meta[9] then
  --@include weighted
  next_pick = weighted_picks(next_pick, draws)
end
