-- index: uniform draws need nothing but the three sorted sets.
-- Gives: index_field, index_loaded, index_check, index_ready, index_results, index_join, index_leave
local index_field
local function index_loaded() end
local index_check, index_ready = index_loaded, index_loaded
local index_results, index_join, index_leave = index_loaded, index_loaded, index_loaded
