%% @doc Vectors in the form of lists, kept small while the parts of a large answer come together: nine
%% bytes a number in a binary, in place of the 32 that a list's element and its float take, and the
%% processes that hand them on copy a reference. Vectors of another form (binaries already) stay as
%% they are. Pure.
-module(ml_cluster_packed).

-export([pack/1, unpack/1]).
-export_type([vectors/0]).

%% `packed': the elements of the list in the external term format, one after the other.
-opaque vectors() :: {packed, Count :: pos_integer(), binary()} | {plain, [term()]}.

%% Of the external term format: its version, a proper list with elements, the empty list.
-define(VERSION, 131).
-define(LIST, 108).
-define(NIL, 106).

-spec pack([term()]) -> vectors().
pack([[_ | _] | _] = Vectors) when length(Vectors) > 0 ->
    <<?VERSION, ?LIST, Count:32, Elements/binary>> = term_to_binary(Vectors),
    {packed, Count, binary:part(Elements, 0, byte_size(Elements) - 1)};
pack(Vectors) ->
    {plain, Vectors}.

%% @doc The vectors of all parts. Made in one piece, and not part by part: a heap that grows by parts
%% is copied again and again.
-spec unpack([vectors()]) -> [term()].
unpack(Parts) ->
    case lists:all(fun is_packed/1, Parts) of
        true -> from_elements(Parts);
        false -> lists:append([plain(Part) || Part <- Parts])
    end.

is_packed(Part) -> element(1, Part) =:= packed.

plain({plain, Vectors}) -> Vectors;
plain(Packed) -> from_elements([Packed]).

from_elements([]) ->
    [];
from_elements(Parts) ->
    Count = lists:sum([N || {packed, N, _} <- Parts]),
    Elements = [Binary || {packed, _, Binary} <- Parts],
    binary_to_term(iolist_to_binary([<<?VERSION, ?LIST, Count:32>>, Elements, ?NIL])).
