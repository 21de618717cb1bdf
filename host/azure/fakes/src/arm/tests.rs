mod course;
mod faults;
mod form;
mod rule;
mod rules;
mod scene;
