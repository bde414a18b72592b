//! What a request may say: parses its statements, and refuses what would not do what it says.

use surrealdb_core::kvs::Datastore;
use surrealdb_core::syn;
use surrealdb_sql::statements::DefineStatement;
use surrealdb_sql::{Ast, Expr, TopLevelExpr};

use crate::error::StatementError;

pub(crate) fn parse(datastore: &Datastore, sql: &str) -> Result<Ast, StatementError> {
    syn::parse_with_capabilities(sql, &datastore.get_capabilities(), &datastore.parser_config())
        .map_err(|cause| StatementError::Parse(cause.to_string()))
}

pub(crate) fn check_update(ast: &Ast, sql: &str) -> Result<(), StatementError> {
    for expression in &ast.expressions {
        check_common(expression)?;
    }
    // The graph of a vector index that is rebuilt on one copy would stay in the memory of the others: it keeps its identity,
    // and nothing that they read says that it changed.
    if mentions(sql, "rebuild")
        && ast.expressions.iter().any(|expression| holds(expression, &["RebuildIndexStatement {"]))
    {
        return Err(StatementError::Unsupported(
            "REBUILD INDEX is not replicated correctly: use DEFINE INDEX OVERWRITE, which builds the index anew",
        ));
    }
    if mentions(sql, "index") && indexes_its_own_writes(ast) {
        return Err(StatementError::Unsupported(
            "an index is built from what was committed before, and would miss what this update writes ahead of it: put \
             DEFINE INDEX first, or into an update of its own",
        ));
    }
    Ok(())
}

fn mentions(sql: &str, word: &str) -> bool {
    sql.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a statement has one of these nodes, at its top or inside a block, function or event.
///
/// The syntax tree has no walker, so its debugging text is searched for the names. That is slow, and done only for
/// statements that mention what is looked for at all.
fn holds(expression: &TopLevelExpr, nodes: &[&str]) -> bool {
    let text = format!("{expression:?}");
    nodes.iter().any(|node| text.contains(node))
}

/// Nodes that change records, or may: what a function of the database does is not seen from here.
const WRITES: [&str; 10] = [
    "CreateStatement {",
    "UpdateStatement {",
    "UpsertStatement {",
    "DeleteStatement {",
    "RelateStatement {",
    "InsertStatement {",
    "RemoveTableStatement {",
    "Custom(",
    "Module(",
    "Silo {",
];

/// Whether an index is built while the transaction is open: any but one that is built in the background, after the commit.
pub(crate) fn builds_an_index(ast: &Ast, sql: &str) -> bool {
    let waits =
        |expression| holds(expression, &["concurrently: false"]) && holds(expression, &["DefineIndexStatement {"]);
    mentions(sql, "index") && ast.expressions.iter().any(waits)
}

/// Whether an index is defined behind a statement that changes records. SurrealDB builds an index in transactions of its
/// own, which see nothing of the one that defines it.
fn indexes_its_own_writes(ast: &Ast) -> bool {
    let mut wrote = false;
    ast.expressions.iter().any(|expression| {
        wrote |= match expression {
            // A view is filled as it is defined; of all other definitions, what is inside runs later.
            TopLevelExpr::Expr(Expr::Define(define)) => {
                matches!(define.as_ref(), DefineStatement::Table(table) if table.view.is_some())
            }
            other => holds(other, &WRITES),
        };
        wrote && holds(expression, &["DefineIndexStatement {"])
    })
}

pub(crate) fn check_query(ast: &Ast) -> Result<(), StatementError> {
    for expression in &ast.expressions {
        check_common(expression)?;
        if writes(expression) {
            return Err(StatementError::ReadOnly);
        }
    }
    Ok(())
}

/// Whether a statement writes by its very kind. What writes inside of it is found when it runs in a read transaction; but
/// there, a table that is missing would be complained about first.
fn writes(expression: &TopLevelExpr) -> bool {
    matches!(
        expression,
        TopLevelExpr::Expr(
            Expr::Create(_)
                | Expr::Update(_)
                | Expr::Upsert(_)
                | Expr::Delete(_)
                | Expr::Relate(_)
                | Expr::Insert(_)
                | Expr::Define(_)
                | Expr::Remove(_)
                | Expr::Rebuild(_)
                | Expr::Alter(_)
        )
    )
}

fn check_common(expression: &TopLevelExpr) -> Result<(), StatementError> {
    match expression {
        TopLevelExpr::Begin => Err(StatementError::TransactionStatement("BEGIN")),
        TopLevelExpr::Commit => Err(StatementError::TransactionStatement("COMMIT")),
        TopLevelExpr::Cancel => Err(StatementError::TransactionStatement("CANCEL")),
        TopLevelExpr::Live(_) | TopLevelExpr::Kill(_) => Err(StatementError::Unsupported(
            "live queries need a lasting session, which a request does not have: poll with SHOW CHANGES instead",
        )),
        TopLevelExpr::Option(_) => {
            Err(StatementError::Unsupported("OPTION is only for SurrealDB's own import: leave it out"))
        }
        _ => Ok(()),
    }
}
