%% @doc What a worker's info/0 says, read with suspicion: any node may call itself `worker1', and a
%% worker of another version may say more or less than ours. Pure.
-module(ml_cluster_info).

-export([check/1, opts/1, names_function/2, models/1, default_model/1, option_key/1]).

-define(API, 1).

%% @doc Is this the answer of a worker that speaks our API?
-spec check(term()) -> {ok, map()} | {error, term()}.
check(#{api := ?API} = Info) -> {ok, Info};
check(#{api := Other}) -> {error, {api, ?API, Other}};
check(#{}) -> {error, {api, ?API, none}};
check(_) -> {error, not_a_worker}.

%% @doc The option names that the worker takes, as a set of binaries.
-spec opts(map()) -> #{binary() => []}.
opts(#{opts := Opts}) when is_list(Opts) ->
    maps:from_list([{Key, []} || Opt <- Opts, {ok, Key} <- [option_key(Opt)]]);
opts(_) ->
    #{}.

%% @doc Does the worker say that it has this function?
-spec names_function(atom(), map()) -> boolean().
names_function(Name, #{functions := Names}) when is_list(Names) ->
    lists:member(Name, Names) orelse lists:member(atom_to_binary(Name), Names);
names_function(_, _) ->
    false.

%% @doc Names of the loaded models and the aliases.
-spec models(map()) -> #{loaded := [binary()], aliases := #{binary() => binary()}}.
models(#{model := #{loaded_models := Loaded} = Model}) when is_list(Loaded) ->
    #{
        loaded => [Name || Name <- Loaded, is_binary(Name)],
        aliases => aliases(maps:get(aliases, Model, #{}))
    };
models(_) ->
    #{loaded => [], aliases => #{}}.

aliases(Aliases) when is_map(Aliases) ->
    maps:from_list([
        {Key, Name}
     || {Alias, Name} <- maps:to_list(Aliases), is_binary(Name), {ok, Key} <- [option_key(Alias)]
    ]);
aliases(_) ->
    #{}.

%% @doc The default model, as far as the worker tells.
-spec default_model(map()) ->
    #{name := binary(), max_tokens := non_neg_integer(), numerics := binary(), _ => _}.
default_model(#{model := #{default_model := Name, details := Details}}) when
    is_binary(Name), is_list(Details)
->
    Known = [Model || #{name := N, max_tokens := _, numerics := _} = Model <- Details, N =:= Name],
    hd(Known ++ [unknown(Name)]);
default_model(Info) ->
    #{loaded := Loaded} = models(Info),
    unknown(hd(Loaded ++ [<<"default">>])).

unknown(Name) -> #{name => Name, max_tokens => 0, numerics => <<"unknown">>}.

%% @doc Options are atoms or binaries on either side; they are compared as binaries, so that a
%% remote name never becomes an atom.
-spec option_key(term()) -> {ok, binary()} | error.
option_key(Key) when is_atom(Key) -> {ok, atom_to_binary(Key)};
option_key(Key) when is_binary(Key) -> {ok, Key};
option_key(_) -> error.
