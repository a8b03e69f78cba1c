%% @doc Names of nodes. Pure. A name from outside (epmd of a host lists everybody's nodes) is
%% matched while it is text; only then may it become an atom, for atoms are never freed.
-module(ml_cluster_names).

-export([to_node/1, matches/2, on_host/2, base/1, host/1]).

%% @doc The node of this name, if it can be one.
-spec to_node(binary()) -> {ok, node()} | error.
to_node(Name) when byte_size(Name) =< 255 ->
    case re:run(Name, "^[A-Za-z0-9_.+-]+@[A-Za-z0-9_.:-]+\\z") of
        {match, _} -> {ok, binary_to_atom(Name)};
        nomatch -> error
    end;
to_node(_) ->
    error.

%% @doc Does the name begin with one of the prefixes?
-spec matches(node() | string() | binary(), [binary()]) -> boolean().
matches(Node, Prefixes) when is_atom(Node) ->
    matches(atom_to_binary(Node), Prefixes);
matches(Name, Prefixes) when is_list(Name) ->
    matches(to_binary(Name), Prefixes);
matches(Name, Prefixes) ->
    lists:any(fun(Prefix) -> begins_with(Prefix, Name) end, Prefixes).

begins_with(Prefix, Name) ->
    binary:longest_common_prefix([Prefix, Name]) =:= byte_size(Prefix).

%% @doc The node of a name that a host's epmd gave.
-spec on_host(string(), string()) -> {ok, node()} | error.
on_host(Name, Host) -> to_node(<<(to_binary(Name))/binary, "@", (to_binary(Host))/binary>>).

%% epmd's bytes may be anything.
to_binary(Name) -> iolist_to_binary([C band 16#FF || C <- Name]).

%% @doc The part of a node's name before the @.
-spec base(node()) -> string().
base(Node) -> hd(string:split(atom_to_list(Node), "@")).

%% @doc The part of a node's name after the @.
-spec host(node()) -> string().
host(Node) ->
    case string:split(atom_to_list(Node), "@") of
        [_, Host] -> Host;
        [_] -> ""
    end.
