%% The few macros of PropEr that our tests use, by its documented functions: Debian's package of
%% PropEr leaves the header out.
-define(FORALL(X, Type, Property), proper:forall(Type, fun(X) -> Property end)).
%% EUnit has a macro LET of its own.
-define(SUCH(X, Type, Expression), proper_types:bind(Type, fun(X) -> Expression end, false)).
-define(SIZED(Size, Type), proper_types:sized(fun(Size) -> Type end)).
